"""Which public datasets can be used, how are they fetched, and how is each family of files read?"""
