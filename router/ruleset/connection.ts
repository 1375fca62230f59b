/** The part of a conntrack entry that features judge it by. Addresses are IPv4 text; ports are 0 where there are none. */
export interface Connection {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'other';
  /** As the first packet came in. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** As replies come in: the other end of what translation made of it. */
  readonly replySource: string;
  readonly replyDestination: string;
  readonly replySourcePort: number;
}
