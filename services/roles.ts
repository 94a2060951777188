import type { ServiceDefinition } from "#runtime/service.ts";

/**
 * The services that can be a process of their own, each loaded only where it runs: a process does not hold in memory what
 * others do. A test holds the names equal to the registry.
 */
export const roles = {
  access: async () => (await import("./access/service.ts")).access,
  codes: async () => (await import("./codes/service.ts")).codes,
  scans: async () => (await import("./scans/service.ts")).scans,
  impressions: async () => (await import("./impressions/service.ts")).impressions,
  touchpoints: async () => (await import("./touchpoints/service.ts")).touchpoints,
  tags: async () => (await import("./tags/service.ts")).tags,
  emergency: async () => (await import("./emergency/service.ts")).emergency,
  analytics: async () => (await import("./analytics/service.ts")).analytics,
} as const satisfies Readonly<Record<string, () => Promise<ServiceDefinition>>>;

/** Name of a service that can be a process of its own. */
export type Role = keyof typeof roles;

/** True for the name of a service. */
export function isRole(word: string): word is Role {
  return Object.hasOwn(roles, word);
}
