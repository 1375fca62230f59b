/** Items in ascending order of their ids by code unit, the order every collection of a document has. */
export const byId = <Item extends { readonly id: string }>(items: Iterable<Item>): Item[] =>
  [...items].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
