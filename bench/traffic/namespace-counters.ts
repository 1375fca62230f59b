/** What the kernel of this process's network namespace threw away because nobody fetched it in time. */
import { readFileSync } from 'node:fs';

/** Value of `name` in a file of pairs of lines: `Udp: InDatagrams RcvbufErrors`, `Udp: 17 0` (proc_net(5)). */
const pairOf = (file: string, group: string, name: string): number => {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${group}:`))
    .map((line) => line.split(/\s+/));
  const index = lines[0]?.indexOf(name) ?? -1;
  return index < 0 ? 0 : Number(lines[1]?.[index] ?? 0);
};

export interface NamespaceCounters {
  readonly udpOverflows: number;
  readonly icmpOverflows: number;
  readonly listenOverflows: number;
}

export const namespaceCounters = (): NamespaceCounters => ({
  udpOverflows: pairOf('/proc/net/snmp', 'Udp', 'RcvbufErrors'),
  // Last column: drops of each ping socket.
  icmpOverflows: readFileSync('/proc/net/icmp', 'utf8')
    .split('\n')
    .slice(1)
    .reduce((sum, line) => sum + Number(line.trim().split(/\s+/).at(-1) ?? 0), 0),
  listenOverflows: pairOf('/proc/net/netstat', 'TcpExt', 'ListenOverflows'),
});
