/** A System of real parts for features that run daemons, and a record of what they report. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processStartTime } from 'node-netlink';
import { openSystem } from '../../open-system.ts';
import { releaseServices } from '../../service/services.ts';
import type { Report, System } from '../../system.ts';

export interface TestSystem extends System {
  readonly reports: Report[];
  /** State directory made for this test, removed with it; null when it was given. */
  readonly root: string | null;
}

/** Makes one below `directory`, or a fresh one laid out as a state directory. Another one of the same directory is "after a restart". */
export const testSystem = (directory?: string): TestSystem => {
  const reports: Report[] = [];
  const root = directory === undefined ? mkdtempSync(join(tmpdir(), 'svt-')) : null;
  const own = directory ?? join(root ?? '', 'host', 'routers', 'rtr-test00000001');
  mkdirSync(own, { recursive: true, mode: 0o700 });
  const system = openSystem({
    directory: own,
    report: (event) => {
      reports.push(event);
    },
  });
  return { ...system, reports, root };
};

/** Ends what a service left running, by the pid and start time it wrote down, and removes the state directory. */
export const removeSystem = (system: TestSystem, ...names: string[]): void => {
  releaseServices(system);
  for (const name of names) {
    let record: { pid: number; startTime: number };
    try {
      record = JSON.parse(readFileSync(join(system.directory, name, 'process.json'), 'utf8'));
    } catch {
      continue;
    }
    if (processStartTime(record.pid) !== record.startTime) continue;
    // Daemons are leaders of their own sessions, so the group holds their workers and nobody else.
    spawnSync('/usr/bin/kill', ['-KILL', '--', `-${record.pid}`]);
  }
  void system.nftables.close();
  system.route.close();
  system.conntrack.close();
  if (system.root !== null) rmSync(system.root, { recursive: true, force: true });
};
