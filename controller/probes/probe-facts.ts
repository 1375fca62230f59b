/** Probes as planning needs them. */
import type { EgressRuleFact } from '../plan/facts.ts';
import { type ProbeFact, probeExit } from '../plan/probes.ts';
import type { Db } from '../store/transaction.ts';

/** Probes of one host. */
export const loadProbes = async (db: Db, hostId: string): Promise<ProbeFact[]> => {
  const rows = await db
    .selectFrom('probe')
    .leftJoin('network', 'network.id', 'probe.network_id')
    .leftJoin('network_offering', 'network_offering.id', 'network.offering_id')
    .leftJoin('public_ip_range as range', 'range.id', 'probe.range_id')
    .leftJoin('probe as outside', 'outside.id', 'probe.outside_id')
    .select([
      'probe.id',
      'probe.network_id',
      'probe.mac',
      'probe.address',
      'probe.rate',
      'probe.outside_id',
      'outside.address as outside_address',
      'network.prefix as network_prefix',
      'network.gateway as network_gateway',
      'network_offering.services',
      'range.prefix as range_prefix',
      'range.gateway as range_gateway',
    ])
    .where('probe.host_id', '=', hostId)
    .execute();
  return rows.flatMap((row): ProbeFact[] => {
    const prefix = row.network_prefix ?? row.range_prefix;
    const gateway = row.network_gateway ?? row.range_gateway;
    if (prefix === null || gateway === null) return [];
    const services = row.services === null ? [] : (JSON.parse(row.services) as string[]);
    return [
      {
        id: row.id,
        network: row.network_id,
        mac: row.mac,
        address: row.address,
        prefix,
        gateway,
        outside:
          row.outside_id === null || row.outside_address === null
            ? null
            : { id: row.outside_id, address: row.outside_address },
        dns: row.network_id !== null && services.includes('dns') ? gateway : null,
        rate: row.rate,
      },
    ];
  });
};

/** What lets the probes of a network out, if its guests may not go by themselves. */
export const loadProbeExits = async (
  db: Db,
  network: string,
  egressDefault: 'allow' | 'deny',
): Promise<EgressRuleFact[]> => {
  // Where all may go what stands here are exceptions: they would keep the probe in.
  if (egressDefault === 'allow') return [];
  const rows = await db
    .selectFrom('probe')
    .innerJoin('probe as outside', 'outside.id', 'probe.outside_id')
    .select(['probe.id', 'probe.address', 'outside.address as outside'])
    .where('probe.network_id', '=', network)
    .execute();
  return rows.map(probeExit);
};
