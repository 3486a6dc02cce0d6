/* served.h - the userdata of a served model, which the server takes over. */
#ifndef RS_BIND_SERVED_H
#define RS_BIND_SERVED_H
#define RS_SERVED "recsys.ServedModel" /* an rs_server_model *; NULL when it is closed, or a server's */
#endif
