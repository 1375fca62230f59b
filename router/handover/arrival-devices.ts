import type { Leg, RouterDocument } from 'documents';

/**
 * The devices on which packets of a leg come in: its own first, then the hand-over links that stand for it. Rules go by
 * the device a packet came in on; packets leave on the leg's own only.
 */
export const arrivalDevices = (
  leg: Pick<Leg, 'id' | 'device'>,
  { handover }: Pick<RouterDocument, 'handover'>,
): readonly string[] =>
  handover === undefined
    ? [leg.device]
    : [
        leg.device,
        ...[...handover.older, ...handover.newer]
          .filter((link) => link.leg === leg.id)
          .map(({ device }) => device),
      ];
