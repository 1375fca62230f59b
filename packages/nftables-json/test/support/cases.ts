/** What both the kernel and the fake must do: a transaction on a prepared ruleset, and what comes of it. */
import type { NftablesErrorCode } from '../../src/index.ts';

/** The state each case starts from. */
export const prepared = `add table inet vr
add counter inet vr seen
add chain inet vr leaf
add chain inet vr idle
add chain inet vr main { type filter hook forward priority 0; policy drop; }
add set inet vr addresses { type ipv4_addr; elements = { 192.0.2.1 }; }
add set inet vr counted { type ipv4_addr . inet_service; counter; elements = { 192.0.2.1 . 80 }; }
add set inet vr unused { type mark; }
add map inet vr targets { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 192.0.2.1 . 80 : 10.0.0.1 . 8080 }; }
add map inet vr verdicts { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump leaf }; }
add rule inet vr leaf counter name "seen" accept
add rule inet vr main ip saddr @addresses accept
add rule inet vr main ip daddr vmap @verdicts
`;

/** A case: what it says, its text, and the error it must end in. */
export const cases: readonly (readonly [title: string, text: string, code?: NftablesErrorCode])[] = [
  ['an empty text', ''],
  ['only a comment', '# nothing to do\n'],
  ['a table again', 'add table inet vr\n'],
  ['create a table that exists', 'create table inet vr\n', 'exists'],
  ['delete a table', 'delete table inet vr\n'],
  ['delete a table that is missing', 'delete table ip vr\n', 'missing'],
  ['add then delete, which is content with either', 'add table ip other\ndelete table ip other\n'],
  ['replace a table as a whole', 'delete table inet vr\nadd table inet vr\nadd chain inet vr only\n'],
  ['a chain in a missing table', 'add chain inet other x1\n', 'missing'],
  ['a chain again', 'add chain inet vr leaf\n'],
  ['create a chain that exists', 'create chain inet vr leaf\n', 'exists'],
  ['another policy', 'add chain inet vr main { type filter hook forward priority 0; policy accept; }\n'],
  [
    'another hook for a base chain',
    'add chain inet vr main { type filter hook input priority 0; policy drop; }\n',
    'rejected',
  ],
  ['delete an empty chain', 'delete chain inet vr idle\n'],
  ['delete a chain a verdict map refers to', 'flush chain inet vr leaf\ndelete chain inet vr leaf\n', 'busy'],
  ['delete a chain that is missing', 'delete chain inet vr nothing\n', 'missing'],
  ['a rule in a missing chain', 'add rule inet vr nothing accept\n', 'missing'],
  ['a rule that jumps nowhere', 'add rule inet vr idle jump nothing\n', 'missing'],
  ['a rule with a missing set', 'add rule inet vr idle ip saddr @nothing accept\n', 'missing'],
  ['a rule first', 'insert rule inet vr main ct state established,related accept comment "first"\n'],
  [
    'refill a chain',
    'flush chain inet vr main\nadd rule inet vr main meta mark 0x1 accept\nadd rule inet vr main drop\n',
  ],
  ['flush the rules of a table', 'flush table inet vr\n'],
  ['flush everything', 'flush ruleset\n'],
  ['an element', 'add element inet vr addresses { 192.0.2.2 comment "a guest" }\n'],
  ['elements', 'add element inet vr addresses {\n  192.0.2.2,\n  192.0.2.3\n}\n'],
  ['an element again', 'add element inet vr addresses { 192.0.2.1 }\n'],
  ['create an element that exists', 'create element inet vr addresses { 192.0.2.1 }\n', 'exists'],
  ['an element of a missing set', 'add element inet vr nothing { 192.0.2.1 }\n', 'missing'],
  ['delete an element', 'delete element inet vr addresses { 192.0.2.1 }\n'],
  ['delete an element that is missing', 'delete element inet vr addresses { 192.0.2.9 }\n', 'missing'],
  [
    'move an element',
    'delete element inet vr targets { 192.0.2.1 . 80 }\nadd element inet vr targets { 192.0.2.1 . 80 : 10.0.0.2 . 80 }\n',
  ],
  ['the same mapping again', 'add element inet vr targets { 192.0.2.1 . 80 : 10.0.0.1 . 8080 }\n'],
  ['another value for a key', 'add element inet vr targets { 192.0.2.1 . 80 : 10.0.0.2 . 80 }\n', 'exists'],
  ['a verdict to a missing chain', 'add element inet vr verdicts { 192.0.2.2 : goto nothing }\n', 'missing'],
  ['an element with a counter', 'add element inet vr counted { 192.0.2.2 . 443 comment "counts" }\n'],
  ['flush a set', 'flush set inet vr addresses\n'],
  ['flush a map', 'flush map inet vr targets\n'],
  ['a set again', 'add set inet vr addresses { type ipv4_addr; }\n'],
  ['create a set that exists', 'create set inet vr addresses { type ipv4_addr; }\n', 'exists'],
  ['a set as another type', 'add set inet vr addresses { type mark; }\n', 'exists'],
  ['delete a set', 'delete set inet vr unused\n'],
  ['delete a set in use', 'delete set inet vr addresses\n', 'busy'],
  ['delete a map in use', 'delete map inet vr verdicts\n', 'busy'],
  ['delete a counter in use', 'delete counter inet vr seen\n', 'busy'],
  ['delete a counter', 'flush chain inet vr leaf\ndelete counter inet vr seen\n'],
  [
    'a transaction that fails at its end',
    'add set inet vr more { type mark; }\nadd element inet vr more { 1 }\nflush chain inet vr main\ndelete chain inet vr nothing\n',
    'missing',
  ],
  [
    'a transaction that fails in its middle',
    'delete table inet vr\nadd chain inet vr x1\nadd table inet vr\n',
    'missing',
  ],
  ['no command', 'enlarge table inet vr\n', 'syntax'],
  ['an unfinished command', 'add element inet vr addresses {\n', 'syntax'],
  ['a reserved word as a name', 'add chain inet vr fwd\n', 'syntax'],
  ['words after a command', 'add table inet vr now\n', 'syntax'],
];
