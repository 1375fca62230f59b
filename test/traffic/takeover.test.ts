/** What the bench of fail-over judges by. */
import test from 'ava';
import { outageOfEach } from '../../bench/takeover/outages.ts';
import type { ProbeReport, TrafficReport } from '../../bench/traffic/report.ts';

test('an outage belongs to the event before it, and the longest of all probes counts', (t) => {
  const probe = (outages: ProbeReport['outages']) => ({ outages }) as ProbeReport;
  const report = {
    probes: [
      probe([
        { at: 1010, lost: 40, duration: 40 },
        { at: 5000, lost: 9, duration: 9 },
      ]),
      probe([{ at: 990, lost: 70, duration: 70 }]),
    ],
  } as unknown as TrafficReport;
  t.deepEqual(outageOfEach(report, [1000, 3000, 4950]), [70, 0, 9]);
});
