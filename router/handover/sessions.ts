import type { ConntrackEntry } from 'node-netlink';
import { endsHere, isLasting, isOpenTcp } from './own-ends.ts';

/** Sessions at one address of the router. */
export interface Holder {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp';
  readonly count: number;
}

/** What keeps a router that is being replaced, and what does not. */
export interface Sessions {
  /** Connections that end in this router and hold it. */
  readonly local: number;
  /** Connections through it: another router goes on with them once they are copied. */
  readonly translated: number;
  /** The local ones, by the service they are with; the most first. */
  readonly holders: readonly Holder[];
}

/**
 * Counts what goes on in a router.
 *
 * A session holds the router when it is a TCP connection that somebody else opened to one of its addresses and that is open
 * (ESTABLISHED, FIN-WAIT, CLOSE-WAIT as conntrack sees it): a client of a load balancer, a name asked over TCP, a guest
 * that reads its metadata. Only this router has the socket, so nobody else can go on with it.
 *
 * Nothing else holds it:
 * - handshakes (SYN-SENT, SYN-RECV): a router that drains is given no new ones, and each is open or gone in a moment
 * - what has ended (LAST-ACK, TIME-WAIT, CLOSE): nobody waits for anything any more
 * - connections that the router itself opened: the second half of a client's session, which is counted already, or health
 *   checks, pooled connections and questions to resolvers, whose end nobody outside notices
 * - UDP and ICMP: a question and an answer; who does not get one asks again and reaches the newer router
 *
 * @param own - addresses of the router's legs
 */
export const countSessions = (entries: readonly ConntrackEntry[], own: ReadonlySet<string>): Sessions => {
  const holders = new Map<string, { address: string; port: number; protocol: 'tcp'; count: number }>();
  let local = 0;
  let translated = 0;
  for (const entry of entries) {
    if (!endsHere(entry, own)) {
      if (isLasting(entry)) translated += 1;
      continue;
    }
    const { original, reply } = entry;
    if (!own.has(reply.source) || own.has(original.source) || !isOpenTcp(entry)) continue;
    local += 1;
    const address = original.destination;
    const port = original.destinationPort ?? 0;
    const key = `${address} ${port}`;
    const holder = holders.get(key);
    if (holder === undefined) holders.set(key, { address, port, protocol: 'tcp', count: 1 });
    else holder.count += 1;
  }
  return { local, translated, holders: [...holders.values()].toSorted((a, b) => b.count - a.count) };
};
