import { writeFileSync } from 'node:fs';
import { NetlinkError, retireSockets } from 'node-netlink';
import type { System } from '../system.ts';
import type { Succession } from './succession.ts';

const DNS_PORT = 53;
const DHCP_PORT = 67;
const TABLE = 'inet selvage_pause';

/** What is known of TCP connections that are being made when new ones are held off: until they are accepted, ms. */
const HANDSHAKE = 10;
/** New TCP connections are held off this long at most, should nobody be there to let them in again. */
const PAUSE = '3s';
/** A query that the old one forwarded may come back this late, ms. */
const LINGER = 2_000;

const yieldProcessor = (pid: number): void => {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, '19');
  } catch {
    // It has ended, or the kernel has no autogroups (sched(7)).
  }
};

/**
 * Lets a new dnsmasq start beside the old one. What stands in the way, of dnsmasq 2.90 and Linux:
 *
 * - DNS over UDP: both set SO_REUSEADDR, so both may be bound to the same address, and the kernel gives a datagram to the one
 *   that was bound last. From one datagram to the next the new one has them all; the old one answers those it was given.
 * - DHCP: both set SO_REUSEPORT, and would share the datagrams. So the old one's socket is connected to nowhere as soon as
 *   the new one is there; in between two answer, which is none too few.
 * - DNS over TCP: only one may listen. So the old one's sockets stop listening just before the new one starts. Who connects
 *   in these milliseconds would be refused: his first packet is dropped instead, and he sends it again within a second. The
 *   rule for it drops nothing any more once its element has expired, whatever becomes of us.
 */
export const dnsmasqSuccession = (system: System): Succession => {
  const { nftables, clock } = system;
  let paused = false;
  let spins = false;
  return {
    linger: LINGER,
    before: async (old) => {
      // A listener that was taken is silent when it is connected with itself (retireSockets), which only one of an address can
      // be. As long as another one before it is still there its poll(2) returns at once, for ever.
      spins = old.length > 1;
      const stopListening = old.flatMap((one) => {
        try {
          return [retireSockets(one, { tcp: DNS_PORT })];
        } catch {
          // One that was leaving has left.
          return [];
        }
      });
      await nftables.apply(
        [
          `add table ${TABLE}`,
          `delete table ${TABLE}`,
          `add table ${TABLE}`,
          `add set ${TABLE} ports { type inet_service; flags timeout; elements = { ${DNS_PORT} timeout ${PAUSE} }; }`,
          `add chain ${TABLE} input { type filter hook input priority -200; policy accept; }`,
          `add rule ${TABLE} input iifname != "lo" tcp dport @ports tcp flags & (fin | syn | rst | ack) == syn drop`,
          '',
        ].join('\n'),
      );
      paused = true;
      await clock.sleep(HANDSHAKE);
      for (const stop of stopListening) {
        try {
          stop();
        } catch (error) {
          // One may also have left since it was looked at; it is not to keep the others from it.
          if (!(error instanceof NetlinkError && error.errno === 'ESRCH')) throw error;
        }
      }
    },
    after: async (old) => {
      if (paused) await nftables.apply(`delete table ${TABLE}\n`);
      paused = false;
      try {
        retireSockets(old, { udp: DHCP_PORT })();
        // Behind everybody else; one that does not spin is to finish what it has begun as quickly as ever.
        if (spins) yieldProcessor(old.pid);
      } catch {
        // It is gone: so are its sockets.
      }
    },
  };
};
