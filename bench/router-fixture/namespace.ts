/** Network namespaces of a bench. Whatever way the bench ends, they are gone afterwards, with all that runs in them. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';

const IP = '/usr/sbin/ip';
/** Listings of the largest rulesets fit, bytes. */
const LARGEST_OUTPUT = 2 ** 28;

const checked = (result: SpawnSyncReturns<string>, what: string): string => {
  if (result.status !== 0) throw new Error(`${what}: ${result.stderr}`);
  return result.stdout;
};

const open = new Set<Namespace>();

const onSignal = (): void => {
  for (const namespace of open) namespace.remove();
  process.exit(130);
};

/** One network namespace, with nothing in it but its loopback. */
export class Namespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    if (open.size === 0) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
    open.add(this);
    checked(spawnSync(IP, ['netns', 'add', name], { encoding: 'utf8' }), `ip netns add ${name}`);
    this.ip(['link set lo up']);
  }

  /** Runs these commands of ip(8) in it. */
  ip(commands: readonly string[]): void {
    const result = spawnSync(IP, ['-n', this.name, '-batch', '-'], {
      input: `${commands.join('\n')}\n`,
      encoding: 'utf8',
    });
    checked(result, `ip in ${this.name}`);
  }

  /** Runs a program in it to its end and returns what it prints. Throws unless it exits with 0. */
  run(args: readonly string[], input = ''): string {
    const result = spawnSync(IP, ['netns', 'exec', this.name, ...args], {
      input,
      encoding: 'utf8',
      maxBuffer: LARGEST_OUTPUT,
    });
    return checked(result, args.join(' '));
  }

  /** Ends every process in it. */
  endProcesses(): void {
    const { stdout } = spawnSync(IP, ['netns', 'pids', this.name], { encoding: 'utf8' });
    for (const pid of stdout.split('\n').filter((line) => line !== '')) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Gone by itself.
      }
    }
  }

  remove(): void {
    this.endProcesses();
    spawnSync(IP, ['netns', 'del', this.name]);
    open.delete(this);
    if (open.size === 0) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}
