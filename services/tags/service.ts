import { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { NotificationService } from "#gen/waymark/tags/v1/notifications_pb.ts";
import { ScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { defineService } from "#runtime/service.ts";
import { directoryHandlers } from "./directory-handlers.ts";
import { tagsModels } from "./model.ts";
import { tagsProjection } from "./project.ts";
import { scanHandlers } from "./scan-handlers.ts";
import { share } from "./store.ts";
import { tagHandlers } from "./tag-handlers.ts";
import { notificationHandlers, threadHandlers } from "./thread-handlers.ts";

/** Lost-and-found tags: printed ids, finders' threads, rewards, notices to owners. */
export const tags = defineService({
  name: "tags",
  collections: tagsModels,
  calls: ["access", "scans"],
  publishes: ["tags.deleted"],
  consumes: ["touches.lost_and_found", "touches.medical"],
  projections: [tagsProjection],
  routes: (router, deps) => {
    const shared = share(deps);
    router.service(TagService, tagHandlers(shared));
    router.service(ScanService, scanHandlers(shared));
    router.service(ThreadService, threadHandlers(shared));
    router.service(NotificationService, notificationHandlers(shared));
    router.service(TagDirectoryService, directoryHandlers(shared));
  },
});
