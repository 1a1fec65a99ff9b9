/* Logs: one JSON object a line on stderr, with the request's and the job's id where there is one.
 * {"ts":"…Z","level":"info","prog":"vmmd-main","req":"…","job":"…","vm":"…","msg":"…"}
 * Where stderr is systemd's journal, the line's priority stands before it ("<4>", sd-daemon(3));
 * the journal takes that away. Control characters are escaped, so a hostile name cannot forge a
 * line. Never log secrets. */
#pragma once
#include "core/base/cleanup.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* 'program' must outlive the process; the level comes from $VMMD_LOG (debug|info|warn|error). */
void log_init(const char *program);
void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* Context of the calling thread; NULL clears. The strings are copied (63 bytes kept). */
void log_set_request(const char *request_id);
void log_set_job(const char *job_id);
void log_set_vm(const char *vm_id);
