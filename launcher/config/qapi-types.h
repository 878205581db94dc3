/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdQapiUnion: an object of a type that its member `type` chooses */
typedef struct CvdQapiUnion CvdQapiUnion;

/** CvdQapiKind: of a member, and how it becomes an option */
typedef enum {
    CVD_QAPI_END, /* of a table */
    CVD_QAPI_STRING,
    CVD_QAPI_BOOLEAN,
    CVD_QAPI_INTEGER,
    CVD_QAPI_PATH,   /* of a file */
    CVD_QAPI_FD,     /* `${socket:NAME}` */
    CVD_QAPI_UNION,  /* a #CvdQapiUnion, whose members are options */
    CVD_QAPI_SERVER, /* a boolean, and true by itself; the option is false by itself */
    CVD_QAPI_WAIT,   /* a boolean of a server, and false by itself; the option is true by itself */
} CvdQapiKind;

/**
 * CvdQapiMember:
 * @name: QAPI's
 * @option: (nullable): that of the option string; %NULL for a union
 * @is_required: whether it has to be there
 * @choice: (nullable): of a union
 *
 * A table of them ends with %CVD_QAPI_MEMBERS_END.
 */
typedef struct {
    CvdQapiKind kind;
    const char *name;
    const char *option;
    gboolean is_required;
    const CvdQapiUnion *choice;
} CvdQapiMember;

#define CVD_QAPI_MEMBERS_END                                                                       \
    {                                                                                              \
        CVD_QAPI_END, NULL, NULL, FALSE, NULL                                                      \
    }

/**
 * CvdQapiVariant:
 * @type: (nullable): %NULL = the end of a table
 * @members: what the type has
 * @refusal: (nullable): why it cannot be had
 */
typedef struct {
    const char *type;
    const CvdQapiMember *members;
    const char *refusal;
} CvdQapiVariant;

/**
 * CvdQapiUnion:
 * @variants: the types that there are
 * @common: members of all of them
 * @option: (nullable): that of QEMU, for other types than these; %NULL = there are no others
 * @has_id: whether an `id` is beside `type`
 */
struct CvdQapiUnion {
    const CvdQapiVariant *variants;
    const CvdQapiMember *common;
    const char *option;
    gboolean has_id;
};

extern const CvdQapiMember cvd_qapi_no_members[];
extern const CvdQapiUnion cvd_qapi_backend; /* QAPI's ChardevBackend */
extern const CvdQapiUnion cvd_qapi_tpm;     /* QAPI's TpmTypeOptions, with an id */

G_END_DECLS
