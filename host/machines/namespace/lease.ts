/** The lease of a guest as its DHCP client's script notes it: one `key=value` a line. Pure. */
import { isCanonicalIp } from 'ip';

export interface GuestLease {
  readonly address: string;
}

/** null for anything that is not a lease. */
export const parseGuestLease = (text: string): GuestLease | null => {
  const address = /^address=(.*)$/m.exec(text)?.[1] ?? '';
  return isCanonicalIp(address) ? { address } : null;
};
