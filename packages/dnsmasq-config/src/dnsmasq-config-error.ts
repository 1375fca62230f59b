/** A renderer was handed text that would change the meaning of a line: the configuration was not verified first. */
export class DnsmasqConfigError extends Error {
  override readonly name = 'DnsmasqConfigError';
  readonly code: 'DNSMASQ_UNSAFE_TEXT' | 'DNSMASQ_BAD_RELEASE';

  constructor(code: DnsmasqConfigError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
