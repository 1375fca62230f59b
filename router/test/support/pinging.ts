import { type ChildProcess, spawn } from 'node:child_process';

/** Echo requests at 500 a second until they are stopped. */
export const pinging = (
  netns: string,
  address: string,
): {
  readonly stop: () => Promise<{ readonly sent: number; readonly received: number }>;
  readonly kill: () => void;
} => {
  const child: ChildProcess = spawn(
    'ip',
    ['netns', 'exec', netns, 'ping', '-n', '-q', '-i', '0.002', '-W', '2', address],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    stop: async () => {
      child.kill('SIGINT');
      await ended;
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
      return { sent: Number(sent), received: Number(received) };
    },
    kill: () => child.kill('SIGKILL'),
  };
};
