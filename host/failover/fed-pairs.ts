/** Which standbys are fed with what their routers know. Pure. */
import type { HostDocument, Standby } from 'documents';

/** All pairs but those whose standby serves: what another says of its connections is nothing to who has them itself. */
export const fedPairs = ({ ports, standbys = [] }: HostDocument): readonly Standby[] => {
  const serving = new Set(ports.flatMap(({ active, machine }) => (active ? [machine] : [])));
  return standbys.filter(({ standby }) => !serving.has(standby));
};
