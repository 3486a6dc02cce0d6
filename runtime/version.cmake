# Write OUTPUT with VERSION and the commit of SOURCE ("unknown" outside git), touching it only when they changed.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define RS_VERSION \"${VERSION}\"\n#define RS_COMMIT \"${commit}\"\n")
