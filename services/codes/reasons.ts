import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the codes service. */
export const fail = failures("codes.waymark", {
  CODE_NOT_FOUND: { code: Code.NotFound, say: (f) => `code ${f.id} does not exist` },
  LINK_NOT_FOUND: { code: Code.NotFound, say: (f) => `link ${f.id} does not exist` },
  JOB_NOT_FOUND: { code: Code.NotFound, say: (f) => `job ${f.id} does not exist` },
  JOBS_BUSY: {
    code: Code.ResourceExhausted,
    say: (f) => `${f.most} jobs of this workspace are not done yet; wait for one of them`,
  },
  LINK_TAG_NOT_FOUND: { code: Code.NotFound, say: (f) => `tag ${f.name} does not exist` },
  LINK_TAG_BUSY: { code: Code.Aborted, say: (f) => `links with the tag ${f.name} are being changed; try again` },
  SHORT_ID_NOT_FOUND: { code: Code.NotFound, say: (f) => `no code has the short id ${f.shortId}` },
  CODE_EXISTS: { code: Code.AlreadyExists, say: (f) => `${f.field} is taken: ${f.id} exists already; choose another` },
  SHORT_ID_TAKEN: {
    code: Code.AlreadyExists,
    say: (f) => `${f.field} is taken: another code has the short id ${f.shortId}; choose another`,
  },
  SHORT_IDS_CROWDED: { code: Code.Unavailable, say: () => "no free short id was found; try again" },
});
