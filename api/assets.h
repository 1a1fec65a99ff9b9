/* Files that are part of the program: embed.S includes them, so a build needs no installed files.
 * The assembler reads this header too, for UI_FILES. */
#pragma once

#define UI_FOLDER "web/"
/* The web UI's files. X(symbol, path from the root, media type) */
#define UI_FILES(X)                                                                                \
    X(ui_actions, "web/actions.js", "text/javascript; charset=utf-8")                              \
    X(ui_api, "web/api.js", "text/javascript; charset=utf-8")                                      \
    X(ui_app, "web/app.js", "text/javascript; charset=utf-8")                                      \
    X(ui_console, "web/console.js", "text/javascript; charset=utf-8")                              \
    X(ui_create, "web/create.js", "text/javascript; charset=utf-8")                                \
    X(ui_dom, "web/dom.js", "text/javascript; charset=utf-8")                                      \
    X(ui_hostbar, "web/hostbar.js", "text/javascript; charset=utf-8")                              \
    X(ui_icon, "web/icon.svg", "image/svg+xml")                                                    \
    X(ui_index, "web/index.html", "text/html; charset=utf-8")                                      \
    X(ui_keys, "web/keys.js", "text/javascript; charset=utf-8")                                    \
    X(ui_list, "web/list.js", "text/javascript; charset=utf-8")                                    \
    X(ui_machine, "web/machine.js", "text/javascript; charset=utf-8")                              \
    X(ui_notes, "web/notes.js", "text/javascript; charset=utf-8")                                  \
    X(ui_operations, "web/operations.js", "text/javascript; charset=utf-8")                        \
    X(ui_remove, "web/remove.js", "text/javascript; charset=utf-8")                                \
    X(ui_screen, "web/screen.js", "text/javascript; charset=utf-8")                                \
    X(ui_sse, "web/sse.js", "text/javascript; charset=utf-8")                                      \
    X(ui_store, "web/store.js", "text/javascript; charset=utf-8")                                  \
    X(ui_style, "web/app.css", "text/css; charset=utf-8")                                          \
    X(ui_term, "web/term.js", "text/javascript; charset=utf-8")                                    \
    X(ui_words, "web/words.js", "text/javascript; charset=utf-8")

#ifndef __ASSEMBLER__
extern const char asset_openapi[], asset_openapi_end[];
#define X(symbol, path, type) extern const char symbol[], symbol##_end[];
UI_FILES(X)
#undef X
#endif
