/* What people write about a VM on the command line, as members of the API's VmSpec. Pure. */
#pragma once
#include "cli/fault.h"

#include <jansson.h>

/* "size=1G,pool=main,format=qcow2,bus=virtio" -> {"size_bytes":…}; NULL with USAGE. */
json_t *spec_disk(const char *text, struct fault *fault) MUST_USE;
/* The same when something else says the size: "pool=big,format=raw". */
json_t *spec_disk_sized(const char *text, struct fault *fault) MUST_USE;
/* "user" or "network=user,model=e1000e,mac=52:54:…" -> {…}; NULL with USAGE. */
json_t *spec_nic(const char *text, struct fault *fault) MUST_USE;
/* "key=value" into 'labels'. */
bool spec_label(const char *text, json_t *labels, struct fault *fault) MUST_USE;
/* "memory=1G", "cpu.max_vcpus=4", "label.tier=front", "kernel=" into a VmSpec, by member_set(). An
 * empty value is null: the default. 'known' is the VM as the service gave it, or NULL. */
bool spec_set(const char *text, const json_t *known, json_t *spec, struct fault *fault) MUST_USE;
bool spec_put(const char *key, const char *text, const json_t *known, json_t *spec,
              struct fault *fault) MUST_USE;
/* 'present' with 'wanted' laid over it: members that it does not name stay, also those of a list's
 * elements, whose number is 'wanted's. Owned by the caller. */
json_t *spec_overlay(const json_t *present, const json_t *wanted);
/* The merge patch (RFC 7396) that makes 'to' of 'from'; empty when they are equal. null and absent
 * are the same. Owned by the caller. */
json_t *spec_diff(const json_t *from, const json_t *to);
