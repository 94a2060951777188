import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { JobService } from "#gen/waymark/codes/v1/jobs_pb.ts";
import { LinkService } from "#gen/waymark/codes/v1/links_pb.ts";
import { defineService } from "#runtime/service.ts";
import { directoryHandlers } from "./directory.ts";
import { codeHandlers } from "./handlers.ts";
import { startJobs } from "./job-runner.ts";
import { jobHandlers } from "./jobs.ts";
import { linkHandlers } from "./links.ts";
import { codesModels } from "./model.ts";

/** Codes of every kind: where a printed short id leads, what it looks like, and who may change it. */
export const codes = defineService({
  name: "codes",
  collections: codesModels,
  calls: ["access", "scans"],
  publishes: ["codes.changed"],
  consumes: [],
  routes: (router, deps) => {
    router.service(CodeService, codeHandlers(deps));
    router.service(LinkService, linkHandlers(deps));
    router.service(JobService, jobHandlers(deps));
    router.service(DirectoryService, directoryHandlers(deps));
  },
  start: async (deps) => startJobs(deps),
});
