/* The functions that serve the routes: one file a noun. Only routes.c calls them. */
#pragma once
#include "api/routes.h"

route_handler ui_index, ui_file;                                                  /* static.c */
route_handler health_get, openapi_get, version_get, host_get, host_inventory_get; /* host.c */
route_handler guests_shutdown_post;                                               /* host.c */
route_handler vms_list, vms_create, vms_get, vms_edit, vms_delete;                /* vms.c */
route_handler vms_act;                                                            /* actions.c */
route_handler vms_act_all;                                                        /* bulk.c */
route_handler serial_read, serial_write, screenshot_get, log_read;                /* console.c */
route_handler keys_send, text_type, pointer_send, nmi_send;                       /* input.c */
route_handler operations_list, operations_get, operations_cancel;                 /* operations.c */
route_handler storage_move, operations_limit;                                     /* move.c */
route_handler metrics_get;                                                        /* metrics.c */
route_handler events_read;                                                        /* events.c */
route_handler tokens_list, tokens_create, tokens_get, tokens_revoke;              /* tokens.c */
route_handler session_get, session_post, session_delete;                          /* session.c */
route_handler session_password, session_link;                                     /* session.c */
route_handler users_list, users_create, users_get, users_edit, users_delete;      /* users.c */
route_handler users_password, users_link, users_sessions, users_sign_out;         /* users.c */
route_handler certificates_list, certificates_create, certificates_delete;     /* certificates.c */
route_handler grants_list, grants_create, grants_delete;                       /* grants.c */
route_handler sessions_end;                                                    /* users.c */
route_handler webhooks_list, webhooks_create, webhooks_get, webhooks_edit;     /* webhooks.c */
route_handler webhooks_delete, webhooks_test, webhooks_deliveries;             /* webhooks.c */
route_handler templates_list, templates_create, templates_get, templates_edit; /* templates.c */
route_handler templates_delete;                                                /* templates.c */
route_handler snapshots_list, snapshots_create, snapshots_get, snapshots_edit; /* snapshots.c */
route_handler snapshots_nbd;                                                   /* nbd.c */
route_handler snapshots_screenshot, snapshots_diff;                            /* snapshots.c */
route_handler vms_clone;                                                       /* clones.c */
route_handler audit_records;                                                   /* audit.c */
route_handler snapshots_export, exports_list, exports_content, exports_delete; /* exports.c */
route_handler bundles_export, bundles_import, bundles_list, bundles_delete;    /* bundles.c */
route_handler snapshots_delete, snapshots_revert;                              /* snapshots.c */
route_handler snapshots_archive, snapshots_unarchive;                          /* snapshots.c */
route_handler pools_list, pools_create, pools_get, pools_edit, pools_delete;   /* pools.c */
route_handler pools_files;                                                     /* pools.c */
route_handler disks_list, disks_list_of_vm, disks_get, disks_create, disks_delete; /* disks.c */
route_handler disks_edit, disks_grow;                                              /* disks.c */
route_handler imports_list, imports_get, imports_put, imports_delete;              /* imports.c */
route_handler media_get;                                                           /* media.c */
