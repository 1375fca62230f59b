/** The part of an id behind its kind: `4k2v9x0d1m7q` of `net-4k2v9x0d1m7q`. */
export const idTail = (id: string): string => id.slice(id.indexOf('-') + 1);

/** Id of a thing that follows from another and has no row of its own: `seg-4k2v9x0d1m7q`. */
export const derivedId = (kind: string, id: string): string => `${kind}-${idTail(id)}`;
