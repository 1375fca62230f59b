import type { FdbEntry, SegmentPort } from 'documents';
import { byId } from './by-id.ts';
import { derivedId } from './ids.ts';

/** Where each MAC of the host's segments lives. A standby router's port gets none of its MACs. */
export const planFdb = (ports: readonly SegmentPort[]): FdbEntry[] =>
  byId(
    ports
      .filter((port) => port.active)
      .map((port) => ({
        id: derivedId('fdb', port.id),
        segment: port.segment,
        mac: port.mac,
        port: port.id,
      })),
  );
