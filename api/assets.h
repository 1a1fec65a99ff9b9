/* Files that are part of the program: embed.S includes them, so a build needs no installed files.
 */
#pragma once

extern const char asset_openapi[], asset_openapi_end[];
extern const char asset_index[], asset_index_end[]; /* empty when the build had no web UI */
extern const char asset_script[], asset_script_end[];
extern const char asset_style[], asset_style_end[];
