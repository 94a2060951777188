import type { ServiceDefinition } from "#runtime/service.ts";
import { access } from "./access/service.ts";
import { analytics } from "./analytics/service.ts";
import { codes } from "./codes/service.ts";
import { emergency } from "./emergency/service.ts";
import { impressions } from "./impressions/service.ts";
import { scans } from "./scans/service.ts";
import { tags } from "./tags/service.ts";
import { touchpoints } from "./touchpoints/service.ts";

/** Every service, in the order in which their background work starts. */
export const registry: readonly ServiceDefinition[] = [
  access,
  codes,
  scans,
  impressions,
  touchpoints,
  tags,
  emergency,
  analytics,
];
