import type { RouterDocument } from 'documents';

/** The document as it may be shown: one-time passwords are left out. */
export const withoutSecrets = (document: RouterDocument): RouterDocument => ({
  ...document,
  metadataGuests: document.metadataGuests.map(({ password: _secret, ...guest }) => guest),
});
