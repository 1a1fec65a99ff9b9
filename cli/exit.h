/* vmmctl's exit codes: part of the interface, listed in the man page from this table. */
#pragma once

/* X(name, code, meaning) */
#define CLI_EXITS(X)                                                                               \
    X(OK, 0, "It is done.")                                                                        \
    X(FAILED, 1, "The operation failed or was cancelled, or the service failed.")                  \
    X(USAGE, 2, "The command line is wrong; nothing was sent.")                                    \
    X(UNREACHABLE, 3, "The service cannot be reached, or its certificate is not trusted.")         \
    X(AUTH, 4, "No valid token, or its role does not permit this.")                                \
    X(NOT_FOUND, 5, "No such object.")                                                             \
    X(CONFLICT, 6,                                                                                 \
      "The object's state, another operation, or a change made meanwhile stands against it.")      \
    X(TIMED_OUT, 7, "The time given by --timeout has passed; an operation goes on.")               \
    X(INVALID, 8, "The service refused the request's content.")                                    \
    X(INTERRUPTED, 130, "Interrupted by Ctrl-C or a signal; an operation goes on.")

enum cli_exit {
#define X(name, code, meaning) CLI_##name = (code),
    CLI_EXITS(X)
#undef X
};

/* The exit code for a reply's HTTP status (every status >= 400 has one). */
enum cli_exit exit_of_status(int status);
