import test from 'ava';
import { guest, hostDocument, segment } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';

test.serial('guests of one segment reach each other; guests of another do not', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = hostDocument(
    1,
    segment(1),
    segment(2),
    guest(11, 1, '10.1.1.11'),
    guest(12, 1, '10.1.1.12'),
    guest(13, 2, '10.1.1.13'),
  );
  await rig.agent();
  await rig.controller.ready(1);
  await rig.controller.until(
    'ports up',
    () => rig.links().filter((link) => link.name.startsWith('pt') && link.carrier).length === 3,
  );
  await Promise.all([
    rig.address(11, '10.1.1.11'),
    rig.address(12, '10.1.1.12'),
    rig.address(13, '10.1.1.13'),
  ]);
  t.true(await rig.reaches(11, '10.1.1.12'));
  t.false(await rig.reaches(11, '10.1.1.13'));
});
