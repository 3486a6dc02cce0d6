--- Helper of busted: collect garbage at every turn, so that an object freed too early is met too early.
collectgarbage "incremental"
collectgarbage("setpause", 0)
collectgarbage("setstepmul", 1000)
