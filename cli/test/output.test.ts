import test from 'ava';
import { serverSentEvents } from '../commands/event.ts';
import { renderFields, renderTable } from '../output/table.ts';

test('columns line up and empty cells show', (t) => {
  const text = renderTable(
    [
      { title: 'id', value: (row: { id: string; name: string | null }) => row.id },
      { title: 'name', value: (row) => row.name },
    ],
    [
      { id: 'net-1', name: 'a' },
      { id: 'net-123', name: null },
    ],
  );
  t.is(text, 'ID       NAME\nnet-1    a\nnet-123  -');
});

test("a tenant's name cannot steer the terminal", (t) => {
  t.is(renderFields({ name: 'a\u001b[2Jb\nc' }), 'name: a?[2Jb?c');
});

test('conditions read as one line each', (t) => {
  const conditions = [
    { type: 'Ready', status: 'False', reason: 'HostDown', message: 'no host' },
    { type: 'Applied', status: 'True', reason: 'Done', message: '' },
  ];
  t.is(
    renderFields({ id: 'x', conditions }),
    'id:         x\nconditions: Ready=False (HostDown) no host\n            Applied=True (Done) -',
  );
});

test('server-sent events survive being cut anywhere', async (t) => {
  const bytes = new TextEncoder().encode(': hello\n\nid: 1\ndata: {"a":\ndata: 1}\n\nevent: x\ndata: ü\n\n');
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const chunks = async function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    };
    const events: string[] = [];
    for await (const data of serverSentEvents(chunks())) events.push(data);
    t.deepEqual(events, ['{"a":\n1}', 'ü']);
  }
});
