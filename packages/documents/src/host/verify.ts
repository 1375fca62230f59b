import { checker } from '../checker.ts';
import { orderingProblems } from '../ordering.ts';
import type { Problem } from '../problem.ts';
import { HostDocument } from './document.ts';

const checkShape = checker(HostDocument);

/** All problems of a host document. An empty list makes `value` a HostDocument. */
export const verifyHostDocument = (value: unknown): Problem[] => {
  const shape = checkShape(value);
  if (shape.length > 0) return shape;
  const document = value as HostDocument;
  const problems = [
    ...orderingProblems('/segments', document.segments),
    ...orderingProblems('/ports', document.ports),
    ...orderingProblems('/fdb', document.fdb),
    ...orderingProblems('/machines', document.machines),
  ];
  const segments = new Set(document.segments.map((segment) => segment.id));
  const machines = new Set(document.machines.map((machine) => machine.id));
  const ports = new Set(document.ports.map((port) => port.id));
  const missing = (pointer: string, kind: string, id: string): Problem => ({
    pointer,
    code: `unknown-${kind}`,
    message: `There is no ${kind} ${id} in this document`,
    hint: `Add the ${kind}, or name one that is here.`,
  });
  const devices = new Map<string, string>();
  const claim = (pointer: string, device: string, owner: string) => {
    const holder = devices.get(device);
    if (holder !== undefined) {
      problems.push({
        pointer,
        code: 'duplicate-device',
        message: `The device ${device} of ${owner} is already that of ${holder}`,
        hint: 'Give every device of a host a name of its own.',
      });
    }
    devices.set(device, owner);
  };
  for (const [index, segment] of document.segments.entries())
    claim(`/segments/${index}/device`, segment.device, segment.id);
  for (const [index, port] of document.ports.entries()) {
    claim(`/ports/${index}/device`, port.device, port.id);
    claim(`/ports/${index}/machineDevice`, `${port.machine}/${port.machineDevice}`, port.id);
    if (!segments.has(port.segment))
      problems.push(missing(`/ports/${index}/segment`, 'segment', port.segment));
    if (!machines.has(port.machine))
      problems.push(missing(`/ports/${index}/machine`, 'machine', port.machine));
  }
  for (const [index, entry] of document.fdb.entries()) {
    if (!segments.has(entry.segment))
      problems.push(missing(`/fdb/${index}/segment`, 'segment', entry.segment));
    if (!ports.has(entry.port)) problems.push(missing(`/fdb/${index}/port`, 'port', entry.port));
  }
  const links = document.links ?? [];
  problems.push(...orderingProblems('/links', links));
  for (const [index, link] of links.entries()) {
    for (const [side, end] of link.ends.entries()) {
      claim(`/links/${index}/ends/${side}/device`, `${end.machine}/${end.device}`, link.id);
      if (!machines.has(end.machine))
        problems.push(missing(`/links/${index}/ends/${side}/machine`, 'machine', end.machine));
    }
  }
  const standbys = document.standbys ?? [];
  problems.push(...orderingProblems('/standbys', standbys));
  for (const [index, pair] of standbys.entries())
    for (const side of ['router', 'standby'] as const)
      if (!machines.has(pair[side]))
        problems.push(missing(`/standbys/${index}/${side}`, 'machine', pair[side]));
  const probes = document.probes ?? [];
  problems.push(...orderingProblems('/probes', probes));
  for (const [index, probe] of probes.entries())
    for (const side of ['inside', 'outside'] as const)
      if (!machines.has(probe[side]))
        problems.push(missing(`/probes/${index}/${side}`, 'machine', probe[side]));
  return problems;
};
