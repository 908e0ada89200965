/** Errors as the Problems that people see. */

import { ProblemError, type Problem } from '@mlex/api';

/** Whatever was thrown, as a Problem: a server that does not answer is one too. */
export function problemIn(error: unknown): Problem {
  return error instanceof ProblemError
    ? error.problem
    : {
        code: 'unreachable',
        message: 'The server cannot be reached.',
        hint: 'Runs go on without this page. Try again in a moment.',
        transient: true
      };
}
