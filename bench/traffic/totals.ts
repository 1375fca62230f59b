/** A report in a few numbers, over all networks and ways. */
import type { TrafficReport } from './report.ts';

export interface Totals {
  readonly probes: number;
  readonly probesLost: number;
  readonly probesDoubled: number;
  /** Long flows that end at a guest or the internet. */
  readonly flows: number;
  readonly flowsBroken: number;
  /** Long flows through the load balancer. */
  readonly balanced: number;
  readonly balancedBroken: number;
  readonly connections: number;
  readonly connectionsFailed: number;
  readonly connectionsSlow: number;
  readonly dns: number;
  readonly dnsUnanswered: number;
  readonly dhcp: number;
  readonly dhcpUnanswered: number;
  /** ms: longest run of lost probes, sending to sending. */
  readonly longestOutage: number;
}

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

/** Wrong answers count as none. Pure. */
export const totals = ({ probes, flows, connections, dns, dhcp }: TrafficReport): Totals => {
  const balanced = flows.filter(({ way }) => way === 'load-balancer');
  const direct = flows.filter(({ way }) => way !== 'load-balancer');
  return {
    probes: sum(probes, ({ sent }) => sent),
    probesLost: sum(probes, ({ lost }) => lost),
    probesDoubled: sum(probes, ({ doubled }) => doubled),
    flows: sum(direct, (report) => report.flows),
    flowsBroken: sum(direct, ({ broken }) => broken),
    balanced: sum(balanced, (report) => report.flows),
    balancedBroken: sum(balanced, ({ broken }) => broken),
    connections: sum(connections, ({ started }) => started),
    connectionsFailed: sum(connections, ({ failed }) => failed),
    connectionsSlow: sum(connections, ({ slow }) => slow),
    dns: sum(dns, ({ asked }) => asked),
    dnsUnanswered: sum(dns, ({ unanswered, wrong }) => unanswered + wrong),
    dhcp: sum(dhcp, ({ asked }) => asked),
    dhcpUnanswered: sum(dhcp, ({ unanswered, wrong }) => unanswered + wrong),
    longestOutage: Math.max(0, ...probes.flatMap(({ outages }) => outages.map(({ duration }) => duration))),
  };
};

/** One line for people who wait. */
export const progressLine = (report: TrafficReport): string => {
  const all = totals(report);
  const parts = [
    [all.probes, `${all.probes} probes, ${all.probesLost} lost`],
    [all.flows, `${all.flows} flows, ${all.flowsBroken} broken`],
    [all.balanced, `${all.balanced} balanced, ${all.balancedBroken} broken`],
    [all.connections, `${all.connections} connections, ${all.connectionsFailed} failed`],
    [all.dns, `${all.dns} names, ${all.dnsUnanswered} unanswered`],
  ] as const;
  return `${(report.duration / 1000).toFixed(0)} s: ${parts
    .filter(([count]) => count > 0)
    .map(([, text]) => text)
    .join('; ')}`;
};
