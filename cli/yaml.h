/* JSON values as YAML 1.2 text. Only a writer: vmmctl reads JSON. */
#pragma once
#include "core/base/str.h"

#include <jansson.h>

void yaml_write(const json_t *value, struct strbuf *out);
