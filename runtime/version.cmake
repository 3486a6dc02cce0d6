# Write OUTPUT with VERSION, the commit of SOURCE ("unknown" outside git) and a hash of the sources that decide what a
# file is read as (recsys.parsed keeps what they made), touching it only when they changed.
# Without the git program, or where it distrusts the folder's owner, a plain clone's files are read instead.
execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  set(commit unknown)
  set(head ${SOURCE}/.git/HEAD)
  if(EXISTS ${head})
    file(READ ${head} commit LIMIT 256)
    string(STRIP "${commit}" commit)
    string(REGEX REPLACE "^ref: " "" ref "${commit}")
    if(EXISTS ${SOURCE}/.git/${ref})
      file(READ ${SOURCE}/.git/${ref} commit LIMIT 40)
    elseif(EXISTS ${SOURCE}/.git/packed-refs)
      file(STRINGS ${SOURCE}/.git/packed-refs commit REGEX " ${ref}$" LIMIT_COUNT 1)
    endif()
  endif()
endif()
string(REGEX MATCH "^[0-9a-f]+" commit "${commit}")
string(SUBSTRING "${commit}" 0 12 commit)
if(NOT commit)
  set(commit unknown)
endif()
set(reader "")
file(GLOB sources ${SOURCE}/runtime/frame/*.[ch])
list(SORT sources)
foreach(source ${sources})
  if(NOT source MATCHES "_(test|fuzz)\\.c$")
    file(SHA256 ${source} hash)
    string(APPEND reader ${hash})
  endif()
endforeach()
string(SHA256 reader "${reader}")
string(SUBSTRING ${reader} 0 16 reader)
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define RS_VERSION \"${VERSION}\"
#define RS_COMMIT \"${commit}\"
#define RS_READER \"${reader}\"
")
