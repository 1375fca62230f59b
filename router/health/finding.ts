import type { HealthCheck } from 'documents';

/** What one check found; the monitor adds when. */
export type Finding = Omit<HealthCheck, 'checkedAt'>;

export const finding = (name: string, status: HealthCheck['status'], message: string): Finding => ({
  name,
  status,
  message,
});
