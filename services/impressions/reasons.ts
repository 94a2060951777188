import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the impressions service. */
export const fail = failures("impressions.waymark", {
  UNKNOWN_REFERENCE: { code: Code.InvalidArgument, say: (f) => `${f.field} must name an existing ${f.noun}` },
  WRONG_PROGRAM: {
    code: Code.InvalidArgument,
    say: (f) => `student_id must name an ambassador of the program ${f.programId}`,
  },
  ID_TAKEN: { code: Code.AlreadyExists, say: (f) => `the id ${f.id} is taken; choose another` },
  PROGRAM_NOT_FOUND: { code: Code.NotFound, say: (f) => `program ${f.id} does not exist` },
  AMBASSADOR_NOT_FOUND: { code: Code.NotFound, say: (f) => `user ${f.id} does not exist` },
  POSTER_NOT_FOUND: { code: Code.NotFound, say: (f) => `poster ${f.id} does not exist` },
  IMPRESSION_NOT_FOUND: { code: Code.NotFound, say: (f) => `impression ${f.id} does not exist` },
  REFERRAL_NOT_FOUND: { code: Code.NotFound, say: (f) => `referral ${f.id} does not exist` },
  EARNING_NOT_FOUND: { code: Code.NotFound, say: (f) => `earning ${f.id} does not exist` },
  CHANGED_MEANWHILE: { code: Code.Aborted, say: (f) => `${f.id} was changed at the same time; try again` },
});
