/** `echo-program.ts PORT`: answers datagrams in the namespace it is started in. */
import { echo } from './datagrams.ts';

process.stdout.write('ready\n');
echo(Number(process.argv[2]));
