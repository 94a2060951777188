import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { defineService } from "#runtime/service.ts";

/** Stands for the access service where only its audit trail matters: what was done lands in `trail`, as "action object". */
export function auditStandIn(trail: string[]) {
  return defineService({
    name: "audit-stand-in",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) =>
      router.service(AuthorityService, {
        appendAudit({ items }) {
          trail.push(...items.map(({ action, object }) => `${action} ${object}`));
          return {};
        },
      }),
  });
}
