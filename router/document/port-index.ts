/**
 * Numbers for (address, protocol, port), to find the same one again among many without making a text of each. Pure.
 */
export class PortIndex {
  readonly #addresses = new Map<string, number>();

  /** The number of a port of an address; the same for the same three, another for any other. */
  keyOf(address: string, protocol: string, port: number): number {
    let number = this.#addresses.get(address);
    if (number === undefined) this.#addresses.set(address, (number = this.#addresses.size));
    return number * 0x2_0000 + (protocol === 'tcp' ? 0x1_0000 : 0) + port;
  }
}
