/* Files that are part of the program: embed.S includes them, so a build needs no installed files.
 * The assembler reads this header too, for UI_FILES. */
#pragma once

#define UI_FOLDER "web/"
/* The web UI's files. X(symbol, path from the root, media type) */
#define UI_FILES(X)                                                                                \
    X(asset_actions, "web/actions.js", "text/javascript; charset=utf-8")                           \
    X(asset_api, "web/api.js", "text/javascript; charset=utf-8")                                   \
    X(asset_app, "web/app.js", "text/javascript; charset=utf-8")                                   \
    X(asset_ask, "web/ask.js", "text/javascript; charset=utf-8")                                   \
    X(asset_console, "web/console.js", "text/javascript; charset=utf-8")                           \
    X(asset_create, "web/create.js", "text/javascript; charset=utf-8")                             \
    X(asset_dom, "web/dom.js", "text/javascript; charset=utf-8")                                   \
    X(asset_hostbar, "web/hostbar.js", "text/javascript; charset=utf-8")                           \
    X(asset_icon, "web/icon.svg", "image/svg+xml")                                                 \
    X(asset_page, "web/index.html", "text/html; charset=utf-8")                                    \
    X(asset_keys, "web/keys.js", "text/javascript; charset=utf-8")                                 \
    X(asset_list, "web/list.js", "text/javascript; charset=utf-8")                                 \
    X(asset_machine, "web/machine.js", "text/javascript; charset=utf-8")                           \
    X(asset_notes, "web/notes.js", "text/javascript; charset=utf-8")                               \
    X(asset_operations, "web/operations.js", "text/javascript; charset=utf-8")                     \
    X(asset_people, "web/people.js", "text/javascript; charset=utf-8")                             \
    X(asset_remove, "web/remove.js", "text/javascript; charset=utf-8")                             \
    X(asset_screen, "web/screen.js", "text/javascript; charset=utf-8")                             \
    X(asset_snapshots, "web/snapshots.js", "text/javascript; charset=utf-8")                       \
    X(asset_sse, "web/sse.js", "text/javascript; charset=utf-8")                                   \
    X(asset_store, "web/store.js", "text/javascript; charset=utf-8")                               \
    X(asset_style, "web/app.css", "text/css; charset=utf-8")                                       \
    X(asset_term, "web/term.js", "text/javascript; charset=utf-8")                                 \
    X(asset_welcome, "web/welcome.js", "text/javascript; charset=utf-8")                           \
    X(asset_words, "web/words.js", "text/javascript; charset=utf-8")

#ifndef __ASSEMBLER__
extern const char asset_openapi[], asset_openapi_end[];
#define X(symbol, path, type) extern const char symbol[], symbol##_end[];
UI_FILES(X)
#undef X
#endif
