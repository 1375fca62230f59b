import type { MachineStatus } from 'documents';
import type { Db } from '../../store/transaction.ts';
import { hostReport } from '../replace/reports.ts';

/** What a host said last of the machine of a router; null when it has said nothing yet. */
export const machineReport = async (
  db: Db,
  host: string,
  router: string,
): Promise<{ readonly generation: number; readonly machine: MachineStatus | undefined } | null> => {
  const report = await hostReport(db, host);
  return report === null
    ? null
    : { generation: report.observedGeneration, machine: report.machines.find(({ id }) => id === router) };
};
