/** Addresses that probes come from, learned from what only probes can send. */
import { ipToBigInt, parseIp } from 'ip';

/** A sender is known so long after its last datagram, ms. */
const KNOWN_FOR = 60_000;
/** No more than this many are kept; there is one for a probe. */
const MOST = 65_536;

export class KnownSenders {
  /** Addresses as numbers (IPv4 mapped into IPv6), the one heard last at the end, and when that was, ms. */
  readonly #heardAt = new Map<bigint, number>();

  /** A probe's datagram came from there (16 bytes of in6_addr). */
  heard(address: Uint8Array): void {
    const key = BigInt(`0x${Buffer.from(address).toString('hex')}`);
    this.#heardAt.delete(key);
    this.#heardAt.set(key, performance.now());
    const [oldest] = this.#heardAt.keys();
    if (this.#heardAt.size > MOST && oldest !== undefined) this.#heardAt.delete(oldest);
  }

  /** Whether an address, as a socket tells it, is one of them. */
  has(address: string | undefined): boolean {
    const parsed = parseIp(address ?? '');
    const at = parsed === null ? undefined : this.#heardAt.get(ipToBigInt(parsed));
    return at !== undefined && performance.now() < at + KNOWN_FOR;
  }
}
