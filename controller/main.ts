/** The controller as a program: `node controller/main.ts --state DIR`. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startController } from './start-controller.ts';

const USAGE = `Usage: node controller/main.ts [options]

  --state DIR         where everything is kept (default /var/lib/selvage)
  --host ADDRESS      address to listen on (default 127.0.0.1)
  --port N            port to listen on, 0 for any (default 8480)
  --network-gc S      seconds a network may be without guests before its router goes (default 600)
  --no-auto-replace   leave routers that are sick to people
  --trusted-keys FILE public keys (PEM) of those who may sign bundles of routers; without it no bundle is taken
  --help              this text

The API key of the admin account is written to DIR/admin.key at the first start. The log is JSON lines on standard output.
`;

/** A whole number from `least` to `most`. @throws {RangeError} */
const wholeNumber = (option: string, text: string, least: number, most: number): number => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new RangeError(`--${option} is a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`);
};

const readOptions = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: 'string', default: '/var/lib/selvage' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8480' },
      'network-gc': { type: 'string', default: '600' },
      'no-auto-replace': { type: 'boolean', default: false },
      'trusted-keys': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    help: values.help,
    state: values.state,
    host: values.host,
    port: wholeNumber('port', values.port, 0, 65535),
    networkGc: wholeNumber('network-gc', values['network-gc'], 0, 31_536_000),
    autoReplace: !values['no-auto-replace'],
    trustedKeys: values['trusted-keys'] === undefined ? [] : [readFileSync(values['trusted-keys'], 'utf8')],
  };
};

const main = async (): Promise<void> => {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const controller = await startController(options);
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    controller.stop().catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exitCode = 1;
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
};

main().catch((error: unknown) => {
  process.stderr.write(
    `The controller did not start: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
});
