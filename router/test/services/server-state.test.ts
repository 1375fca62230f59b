import test from 'ava';
import fc from 'fast-check';
import type { RenderedServer } from '../../loadbalancer/render.ts';
import { parseServerState, planServers, type RunningServer } from '../../loadbalancer/server-state.ts';

test('reads what haproxy 2.6 says', (t) => {
  const text = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 lb-1 1 mem-a 10.1.1.11 2 0 100 100 12 6 3 4 6 0 0 0 - 8000 - 0 0 - - 0
3 lb-1 2 mem-b 10.1.1.12 0 1 0 100 12 6 3 4 6 0 0 0 - 8000 - 0 0 - - 0

`;
  t.deepEqual(
    [...(parseServerState(text).get('lb-1') ?? [])],
    [
      ['mem-a', { address: '10.1.1.11', port: 8000, weight: 100, maintenance: false, up: true, since: 12 }],
      ['mem-b', { address: '10.1.1.12', port: 8000, weight: 0, maintenance: true, up: false, since: 12 }],
    ],
  );
  t.is(parseServerState('').size, 0);
});

/** What haproxy does on these commands; a server in `busy` has connections and cannot be deleted. */
const obey = (
  running: Map<string, Map<string, RunningServer>>,
  commands: readonly string[],
  busy: ReadonlySet<string>,
): void => {
  for (const line of commands) {
    const name = /\S+\/\S+/.exec(line)?.[0] ?? '';
    const [backend = '', server = ''] = name.split('/');
    const servers = running.get(backend) as Map<string, RunningServer>;
    const found = servers.get(server);
    const set = (change: Partial<RunningServer>): void => {
      if (found !== undefined) servers.set(server, { ...found, ...change });
    };
    const words = line.split(' ');
    if (line.startsWith('add server')) {
      if (found !== undefined) throw new Error('already there');
      const [address = '', port] = (words[3] ?? '').split(':');
      const weight = Number(words[words.indexOf('weight') + 1]);
      servers.set(server, { address, port: Number(port), weight, maintenance: true, up: true, since: 0 });
    } else if (line.startsWith('enable server')) set({ maintenance: false });
    else if (line.startsWith('del server')) {
      if (found?.maintenance === true && !busy.has(name)) servers.delete(server);
    } else if (words[3] === 'state') set({ maintenance: words[4] === 'maint' });
    else if (words[3] === 'weight') set({ weight: Number(words[4]) });
    else if (words[3] === 'addr') set({ address: words[4] as string, port: Number(words[6]) });
    else if (!line.startsWith('enable health')) throw new Error(`unknown command ${line}`);
  }
};

const server = fc.record<RenderedServer>({
  name: fc.constantFrom('mem-a', 'mem-b', 'mem-c', 'mem-d'),
  address: fc.constantFrom('10.1.1.11', '10.1.1.12'),
  port: fc.constantFrom(80, 81),
  weight: fc.constantFrom(0, 100),
});
const servers = fc.uniqueArray(server, { selector: ({ name }) => name });

test('from any servers to any others, keeping the busy ones out of service', (t) => {
  fc.assert(
    fc.property(
      servers,
      fc.array(fc.boolean()),
      servers,
      fc.subarray(['mem-a', 'mem-b', 'mem-c']),
      (has, maintained, wanted, connected) => {
        const busy = new Set(connected.map((name) => `lb/${name}`));
        const running = new Map([
          [
            'lb',
            new Map(
              has.map(({ name, ...rest }, index) => [
                name,
                { ...rest, maintenance: maintained[index] ?? false, up: true, since: 60 },
              ]),
            ),
          ],
        ]);
        const target = new Map([['lb', wanted]]);
        obey(
          running,
          planServers(running, target).flatMap(({ commands }) => commands),
          busy,
        );
        for (const { name, address, port, weight } of wanted) {
          const found = running.get('lb')?.get(name);
          if (found === undefined || found.maintenance) return false;
          if (found.address !== address || found.port !== port || found.weight !== weight) return false;
        }
        const rest = [...(running.get('lb') ?? [])].filter(
          ([name]) => !wanted.some((each) => each.name === name),
        );
        if (!rest.every(([name, { maintenance }]) => maintenance && busy.has(`lb/${name}`))) return false;
        // A second look finds nothing to do but to try those again.
        return planServers(running, target).every(({ leaving }) => leaving === true);
      },
    ),
  );
  t.pass();
});
