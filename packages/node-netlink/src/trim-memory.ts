/** Gives memory that the C library holds but does not use back to the system. */
import { libc } from './libc.ts';

/**
 * malloc_trim(3): returns the free pages of the C heap to the system; true when there were any. What a start or a large
 * message leaves behind is otherwise kept for ever: in a program that rests, a quarter of its memory. Takes a millisecond
 * or two, in which nothing else runs.
 */
export const trimMemory = (): boolean => libc().mallocTrim(0) === 1;
