import type { HandoverLink, Problem } from 'documents';
import { addressOfPrefix, type IpAddress, prefixContains, prefixesOverlap, type Prefix } from 'ip';
import type { HandoverDocument } from './schema.ts';

const SIDES = ['older', 'newer'] as const;

/** Notes values that may be there once only. */
const once = (
  problems: Problem[],
  seen: Map<string, string>,
  { pointer, value, owner, what }: Readonly<Record<'pointer' | 'value' | 'owner' | 'what', string>>,
): void => {
  const other = seen.get(value);
  if (other === undefined) seen.set(value, owner);
  else {
    problems.push({
      pointer,
      code: `duplicate-${what}`,
      message: `${value} is the ${what} of ${other} already`,
      hint: `Give every link ${what === 'id' || what === 'address' ? 'an' : 'a'} ${what} of its own.`,
    });
  }
};

const addressProblems = (link: HandoverLink, pointer: string): Problem[] => {
  const problems: Problem[] = [];
  if (link.mac === link.peerMac) {
    problems.push({
      pointer: `${pointer}/peerMac`,
      code: 'same-mac',
      message: `Both ends of link ${link.id} have the MAC ${link.mac}`,
      hint: 'Give each end a MAC of its own.',
    });
  }
  const address = link.address as Prefix;
  if (!prefixContains(address, link.peer as IpAddress) || addressOfPrefix(address) === link.peer) {
    problems.push({
      pointer: `${pointer}/peer`,
      code: 'peer-out-of-reach',
      message: `The peer ${link.peer} of link ${link.id} is not another address in ${link.address}`,
      hint: 'Use the other address of a /31 or /30 that both ends are in.',
    });
  }
  return problems;
};

/** Everything wrong with the links. It is little, and always looked at whole. */
export const verifyHandover = ({ handover, legs }: HandoverDocument): Problem[] => {
  if (handover === undefined) return [];
  const problems: Problem[] = [];
  const legIds = new Set(legs.map(({ id }) => id));
  const ids = new Map<string, string>();
  const devices = new Map(legs.map((leg) => [leg.device, `leg ${leg.id}`]));
  const macs = new Map(legs.map((leg) => [leg.mac, `leg ${leg.id}`]));
  const networks: { readonly prefix: Prefix; readonly owner: string }[] = legs.flatMap((leg) =>
    leg.addresses.map((address) => ({ prefix: address as Prefix, owner: `leg ${leg.id}` })),
  );
  for (const side of SIDES) {
    const served = new Map<string, string>();
    for (const [index, link] of handover[side].entries()) {
      const pointer = `/handover/${side}/${index}`;
      const owner = `link ${link.id}`;
      once(problems, ids, { pointer: `${pointer}/id`, value: link.id, owner, what: 'id' });
      once(problems, devices, { pointer: `${pointer}/device`, value: link.device, owner, what: 'device' });
      once(problems, macs, { pointer: `${pointer}/mac`, value: link.mac, owner, what: 'mac' });
      // Any number may be heard, one is sent to.
      if (link.receiveOnly !== true)
        once(problems, served, { pointer: `${pointer}/leg`, value: link.leg, owner, what: 'leg' });
      if (!legIds.has(link.leg)) {
        problems.push({
          pointer: `${pointer}/leg`,
          code: 'unknown-leg',
          message: `There is no leg ${link.leg}`,
          hint: `Use one of: ${[...legIds].join(', ')}.`,
        });
      }
      problems.push(...addressProblems(link, pointer));
      const prefix = link.address as Prefix;
      const overlapping = networks.find((network) => prefixesOverlap(network.prefix, prefix));
      if (overlapping !== undefined) {
        problems.push({
          pointer: `${pointer}/address`,
          code: 'overlapping-network',
          message: `The network of ${link.address} overlaps that of ${overlapping.owner}`,
          hint: 'Give every link a network of its own that no leg has.',
        });
      }
      networks.push({ prefix, owner });
    }
    if (served.size === 0) continue;
    for (const leg of legs) {
      if ((leg.role !== 'guest' && leg.role !== 'public') || served.has(leg.id)) continue;
      problems.push({
        pointer: `/handover/${side}`,
        code: 'leg-without-link',
        message: `There is no link to the ${side} router for leg ${leg.id}: its packets would not be handed over`,
        hint: 'Give a link for every guest and public leg, or none at all.',
      });
    }
  }
  return problems;
};
