import type { RouterDocument } from 'documents';

/** A document for other people's eyes: no passwords, and of user data, where guests' owners put theirs, only the size. */
export const withoutSecrets = (document: RouterDocument): unknown => ({
  ...document,
  metadataGuests: document.metadataGuests.map(({ password, userData, ...guest }) => ({
    ...guest,
    userData: userData === '' ? '' : `(${Math.floor((userData.length * 3) / 4)} bytes left out)`,
    ...(password === undefined ? {} : { password: '(left out)' }),
  })),
});
