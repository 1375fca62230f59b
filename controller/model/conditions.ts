/** Conditions of resources, computed from what is wanted and what was reported last. */
import type { Condition } from 'documents';
import { hostState } from './host-state.ts';

/** What is known of the router that serves a network; null where there is none. */
export interface RouterView {
  readonly id: string;
  readonly generation: number;
  readonly host: string;
  readonly hostName: string;
  readonly hostLastSeenAt: number | null;
  readonly observedGeneration: number;
  readonly appliedGeneration: number;
  /** When the daemon was last heard, ms; null: never. */
  readonly reportedAt: number | null;
  readonly conditions: readonly Condition[];
}

const condition = (
  type: string,
  status: Condition['status'],
  reason: string,
  message: string,
  observedGeneration: number,
  lastTransitionTime: number,
): Condition => ({ type, status, reason, message, observedGeneration, lastTransitionTime });

/** `Ready` of what is nothing but a record. */
export const recorded = (createdAt: number, ready = true, reason = 'Recorded', message = ''): Condition[] => [
  condition('Ready', ready ? 'True' : 'False', reason, message, 0, createdAt),
];

/** What the daemon says is not well: conditions that are False, and those that state a fault. */
export const faults = (conditions: readonly Condition[]): Condition[] =>
  conditions.filter(({ type, status }) =>
    type === 'Drifted' || type === 'Degraded' ? status === 'True' : status === 'False',
  );

/** `Applied` of a part of a router's document that is in it from `generation` on. */
export const applied = (
  part: { readonly generation: number; readonly createdAt: number },
  router: RouterView | null,
  now: number,
): Condition => {
  const { generation, createdAt } = part;
  const say = (status: Condition['status'], reason: string, message: string, time = createdAt) =>
    condition('Applied', status, reason, message, generation, time);
  if (router === null)
    return say(
      'False',
      'NetworkNotImplemented',
      'The network has no router: it gets one with its first guest, and this takes effect then.',
    );
  const { appliedGeneration, observedGeneration, reportedAt } = router;
  if (reportedAt === null)
    return say(
      'False',
      'RouterStarting',
      `The router ${router.id} on ${router.hostName} has not reported yet.`,
    );
  if (appliedGeneration >= generation)
    return say('True', 'InForce', `In force on the router ${router.id}.`, reportedAt);
  if (hostState(router.hostLastSeenAt, now) === 'down')
    return say(
      'False',
      'HostDown',
      `The host ${router.hostName} of the router ${router.id} is not heard of; what was in force there before keeps working.`,
    );
  if (observedGeneration >= generation) {
    const why = faults(router.conditions).map(({ message }) => message);
    return say(
      'False',
      'ApplyFailed',
      `The router ${router.id} could not apply generation ${observedGeneration} and keeps ${appliedGeneration}: ${why.join(' ') || 'see its conditions'}`,
      reportedAt,
    );
  }
  return say(
    'False',
    'Delivering',
    `The router ${router.id} has generation ${appliedGeneration}; this is in generation ${generation}.`,
  );
};

/** Conditions of a router: whether it is reached, whether its intent is in force, and what its daemon says itself. */
export const routerConditions = (router: RouterView, createdAt: number, now: number): Condition[] => {
  const host = hostState(router.hostLastSeenAt, now);
  const reachable =
    router.reportedAt === null
      ? condition('Reachable', 'Unknown', 'NotReported', 'The router has not reported yet.', 0, createdAt)
      : host === 'up'
        ? condition('Reachable', 'True', 'Reporting', '', router.observedGeneration, router.reportedAt)
        : condition(
            'Reachable',
            'False',
            'HostDown',
            `The host ${router.hostName} is not heard of.`,
            router.observedGeneration,
            router.hostLastSeenAt ?? createdAt,
          );
  const own = applied({ generation: router.generation, createdAt }, router, now);
  return [
    reachable,
    own,
    ...router.conditions.filter(({ type }) => type !== 'Applied' && type !== 'Reachable'),
  ];
};

export type RouterState = 'starting' | 'running' | 'degraded' | 'unreachable';

/** A router in one word. */
export const routerState = (router: RouterView, now: number): RouterState => {
  if (router.reportedAt === null) return 'starting';
  if (hostState(router.hostLastSeenAt, now) !== 'up') return 'unreachable';
  if (router.appliedGeneration === 0) return 'starting';
  const stuck =
    router.observedGeneration >= router.generation && router.appliedGeneration < router.generation;
  return stuck || faults(router.conditions).length > 0 ? 'degraded' : 'running';
};

/** `Ready` of a network. */
export const networkConditions = (
  network: { readonly state: string; readonly createdAt: number },
  router: RouterView | null,
  now: number,
): Condition[] => {
  const say = (status: Condition['status'], reason: string, message: string) => [
    condition(
      'Ready',
      status,
      reason,
      message,
      router?.generation ?? 0,
      router?.reportedAt ?? network.createdAt,
    ),
  ];
  if (router === null)
    return network.state === 'allocated'
      ? say('True', 'Allocated', 'Recorded; its router comes with the first guest.')
      : say('False', 'ShuttingDown', 'The router is being taken away.');
  const state = routerState(router, now);
  if (state === 'running') return say('True', 'RouterRunning', `The router ${router.id} runs.`);
  const why = faults(router.conditions)
    .map(({ message }) => message)
    .join(' ');
  return say(
    'False',
    `Router${state[0]?.toUpperCase()}${state.slice(1)}`,
    `The router ${router.id} is ${state}. ${why}`.trim(),
  );
};

/** `Ready` of a host. */
export const hostConditions = (
  host: {
    readonly name: string;
    readonly createdAt: number;
    readonly generation: number;
    readonly lastSeenAt: number | null;
    readonly observedGeneration: number;
  },
  reported: readonly Condition[],
  now: number,
): Condition[] => {
  const state = hostState(host.lastSeenAt, now);
  const time = host.lastSeenAt ?? host.createdAt;
  const observed = host.observedGeneration;
  return [
    state === 'up'
      ? condition('Ready', 'True', 'AgentReporting', '', observed, time)
      : condition(
          'Ready',
          state === 'down' ? 'False' : 'Unknown',
          state === 'down' ? 'AgentSilent' : 'NeverSeen',
          state === 'down'
            ? `The agent of ${host.name} is not heard of; what runs there keeps running.`
            : `The agent of ${host.name} has not reported yet; start it with the host's token.`,
          observed,
          time,
        ),
    observed >= host.generation
      ? condition('Applied', 'True', 'InForce', '', observed, time)
      : condition(
          'Applied',
          'False',
          'Delivering',
          `The host has generation ${observed} of ${host.generation}.`,
          observed,
          time,
        ),
    ...reported.filter(({ type }) => type !== 'Ready' && type !== 'Applied'),
  ];
};

/** `Ready` of an instance, from what its host reported of it. */
export const instanceConditions = (
  instance: { readonly createdAt: number; readonly wanted: 'running' | 'stopped' },
  reported: { readonly state: string; readonly message: string } | null,
  host: { readonly name: string; readonly lastSeenAt: number | null },
  now: number,
): Condition[] => {
  const say = (status: Condition['status'], reason: string, message: string) => [
    condition('Ready', status, reason, message, 0, instance.createdAt),
  ];
  if (hostState(host.lastSeenAt, now) === 'down')
    return say('Unknown', 'HostDown', `The host ${host.name} is not heard of.`);
  if (reported === null)
    return say('False', 'Starting', `The host ${host.name} has not reported this instance yet.`);
  if (reported.state === instance.wanted)
    return say('True', reported.state === 'running' ? 'Running' : 'Stopped', reported.message);
  return say(
    'False',
    reported.state === 'failed' ? 'Failed' : 'Changing',
    reported.message || `It is ${reported.state} and has to be ${instance.wanted}.`,
  );
};
