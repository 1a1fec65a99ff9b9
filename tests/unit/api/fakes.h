/* The core as the api's tests see it: all that stands in for it, in one program. */
#pragma once
#include "tests/unit/api/fake_core.c"
/* after the core, whose words it uses */
#include "tests/unit/api/fake_bundle.c"
#include "tests/unit/api/fake_input.c"
#include "tests/unit/api/fake_many.c"
#include "tests/unit/api/fake_move.c"
#include "tests/unit/api/fake_snap.c"
#include "tests/unit/api/fake_trail.c"
#include "tests/unit/api/fake_upload.c"
#include "tests/unit/api/fake_users.c"
